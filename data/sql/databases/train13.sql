CREATE TABLE rugs (cheese TEXT, giver TEXT, drums INTEGER, home TEXT);
INSERT INTO rugs VALUES
('Yazski', 'Feter', 297, 'Paner'),
('Guzon', 'Niboff', 307, 'Paner'),
('Gamel', 'Saner', 153, 'Bufen'),
('Tukum', 'Wetic', 284, 'Ridski'),
('Debel', 'Niboff', 184, 'Zipon'),
('Vipak', 'Feter', 316, 'Giren'),
('Sufic', 'Saner', 904, 'Giren'),
('Wofum', 'Niboff', 186, 'Hizis'),
('Nedin', 'Niboff', 278, 'Zipon'),
('Bunel', 'Feter', 851, 'Bufen');

CREATE TABLE roads (home TEXT, format TEXT, bases INTEGER);
INSERT INTO roads VALUES
('Paner', 'Banum', 379),
('Bufen', 'Rebski', 465),
('Zipon', 'Yekum', 30),
('Giren', 'Yekum', 882),
('Ridski', 'Rebski', 671),
('Hizis', 'Yekum', 396);

CREATE TABLE silos (station TEXT, kids INTEGER, chapel TEXT, mood TEXT);
INSERT INTO silos VALUES
('Mugum', 194, 'Nasum', 'Noben'),
('Renon', 501, 'Vifen', 'Yokic'),
('Dozic', 417, 'Vifen', 'Parer'),
('Volel', 570, 'Bizer', 'Noben'),
('Madak', 67, 'Matel', 'Janel'),
('Getski', 348, 'Matel', 'Janel'),
('Bobak', 529, 'Nasum', 'Yinis'),
('Bipoff', 516, 'Matel', 'Parer'),
('Buzel', 306, 'Vifen', 'Yokic'),
('Jilov', 112, 'Vifen', 'Fager');

CREATE TABLE bosses (mood TEXT, motto TEXT, tabs INTEGER);
INSERT INTO bosses VALUES
('Yokic', 'Hizoff', 636),
('Janel', 'Hizoff', 663),
('Parer', 'Fagis', 761),
('Noben', 'Hizoff', 545),
('Fager', 'Fagis', 281),
('Yinis', 'Kuvov', 42);

CREATE TABLE storms (net TEXT, club TEXT, inputs INTEGER, motto TEXT);
INSERT INTO storms VALUES
('Hanel', 'Wonak', 821, 'Lavak'),
('Jetis', 'Gulov', 766, 'Lavak'),
('Pezic', 'Gerski', 614, 'Hovic'),
('Tupen', 'Tovov', 995, 'Hovic'),
('Mofis', 'Gerski', 282, 'Pudov'),
('Fazov', 'Gerski', 80, 'Vubin'),
('Nemis', 'Wonak', 576, 'Hefski'),
('Zefen', 'Gerski', 484, 'Pudov'),
('Wavski', 'Gulov', 274, 'Vubin'),
('Varon', 'Gulov', 623, 'Jinoff');

CREATE TABLE hotels (motto TEXT, robot TEXT, trades INTEGER);
INSERT INTO hotels VALUES
('Vubin', 'Kakel', 126),
('Lavak', 'Finum', 903),
('Pudov', 'Finum', 982),
('Hovic', 'Kakel', 856),
('Jinoff', 'Halis', 92),
('Hefski', 'Finum', 800);

CREATE TABLE calves (timber TEXT, farmer TEXT, cups INTEGER, worker TEXT);
INSERT INTO calves VALUES
('Bovon', 'Nezel', 759, 'Womon'),
('Jotski', 'Nezel', 903, 'Wunski'),
('Kidon', 'Nezel', 21, 'Mosov'),
('Wimel', 'Selic', 48, 'Mosov'),
('Lozov', 'Selic', 75, 'Wunski'),
('Hirov', 'Lerski', 807, 'Doren'),
('Gulen', 'Lerski', 904, 'Womon'),
('Lafoff', 'Selic', 913, 'Medoff'),
('Remak', 'Wazov', 371, 'Doren'),
('Yiker', 'Selic', 773, 'Juzer');

CREATE TABLE whales (worker TEXT, senator TEXT, chests INTEGER);
INSERT INTO whales VALUES
('Doren', 'Pifen', 737),
('Wunski', 'Jotum', 719),
('Mosov', 'Jotum', 254),
('Womon', 'Nemin', 57),
('Juzer', 'Pifen', 745),
('Medoff', 'Jotum', 671);

CREATE TABLE bulls (start TEXT, nation TEXT, samples INTEGER, ship TEXT);
INSERT INTO bulls VALUES
('Habov', 'Menen', 670, 'Hazic'),
('Daken', 'Savum', 971, 'Walin'),
('Yiben', 'Menen', 902, 'Gapis'),
('Megoff', 'Zebov', 933, 'Walin'),
('Farer', 'Savum', 256, 'Napak'),
('Sidin', 'Gosis', 172, 'Napak'),
('Dafis', 'Menen', 191, 'Gapis'),
('Gemis', 'Savum', 151, 'Hazic'),
('Niben', 'Savum', 444, 'Befic'),
('Punel', 'Zebov', 23, 'Lelen');

CREATE TABLE stables (ship TEXT, bays INTEGER, club TEXT);
INSERT INTO stables VALUES
('Walin', 106, 'Huvski'),
('Hazic', 85, 'Fodski'),
('Napak', 851, 'Fumski'),
('Gapis', 113, 'Fumski'),
('Lelen', 282, 'Fumski'),
('Befic', 358, 'Fodski');

CREATE TABLE ducks (ally TEXT, pounds INTEGER, solo TEXT, maker TEXT);
INSERT INTO ducks VALUES
('Kotic', 401, 'Burum', 'Tezon'),
('Wavski', 962, 'Bepov', 'Fizak'),
('Satel', 798, 'Burum', 'Pulic'),
('Yuben', 331, 'Zigum', 'Mevski'),
('Rugov', 530, 'Sonov', 'Fizak'),
('Tafen', 114, 'Burum', 'Gilen'),
('Voger', 538, 'Sonov', 'Hinov'),
('Kozen', 353, 'Burum', 'Hinov'),
('Pisski', 852, 'Bepov', 'Tezon'),
('Voten', 362, 'Bepov', 'Pulic');

CREATE TABLE tutors (maker TEXT, armor TEXT, debt INTEGER);
INSERT INTO tutors VALUES
('Fizak', 'Mozon', 591),
('Tezon', 'Mozon', 73),
('Hinov', 'Fudon', 824),
('Pulic', 'Sumak', 726),
('Gilen', 'Fudon', 377),
('Mevski', 'Fudon', 447);

CREATE TABLE gorges (series TEXT, mammal TEXT, tokens INTEGER, orator TEXT);
INSERT INTO gorges VALUES
('Homin', 'Suden', 929, 'Mivum'),
('Yemel', 'Lefic', 847, 'Luken'),
('Posum', 'Suden', 872, 'Liker'),
('Luner', 'Lefic', 844, 'Liker'),
('Mugin', 'Suden', 818, 'Totoff'),
('Jubel', 'Suden', 320, 'Mivum'),
('Wotak', 'Zenon', 651, 'Larin'),
('Bufon', 'Rogak', 591, 'Larin'),
('Bafer', 'Zenon', 459, 'Kotoff'),
('Jikis', 'Lefic', 452, 'Totoff');

CREATE TABLE crews (orator TEXT, meal TEXT, yards INTEGER);
INSERT INTO crews VALUES
('Totoff', 'Baboff', 456),
('Larin', 'Jivon', 889),
('Liker', 'Jivon', 196),
('Mivum', 'Henis', 829),
('Kotoff', 'Henis', 250),
('Luken', 'Henis', 405);

CREATE TABLE dams (carver TEXT, bays INTEGER, fish TEXT, coast TEXT);
INSERT INTO dams VALUES
('Nitoff', 373, 'Paner', 'Relov'),
('Bofel', 130, 'Wesov', 'Ranic'),
('Voser', 256, 'Paner', 'Honoff'),
('Dapis', 507, 'Legski', 'Patski'),
('Ruzum', 713, 'Wesov', 'Honoff'),
('Penen', 397, 'Legski', 'Relov'),
('Surski', 768, 'Wesov', 'Patski'),
('Gisis', 47, 'Hirel', 'Desak'),
('Namic', 877, 'Legski', 'Desak'),
('Lalak', 330, 'Legski', 'Zamin');

CREATE TABLE wheats (coast TEXT, tabs INTEGER, song TEXT);
INSERT INTO wheats VALUES
('Honoff', 410, 'Yurel'),
('Desak', 51, 'Pasak'),
('Patski', 65, 'Nusen'),
('Relov', 529, 'Pasak'),
('Ranic', 728, 'Yurel'),
('Zamin', 962, 'Yurel');

CREATE TABLE docks (fabric TEXT, rolls INTEGER, finish TEXT, sort TEXT);
INSERT INTO docks VALUES
('Fukin', 749, 'Nisoff', 'Fupov'),
('Zesis', 818, 'Nopoff', 'Wadoff'),
('Wivak', 980, 'Jebak', 'Lezak'),
('Dolon', 271, 'Nisoff', 'Wanak'),
('Welov', 146, 'Nisoff', 'Wadoff'),
('Rugis', 186, 'Jupski', 'Fupov'),
('Gatic', 713, 'Jupski', 'Nasoff'),
('Kugov', 388, 'Jebak', 'Vofen'),
('Kigen', 116, 'Jebak', 'Lezak'),
('Javen', 983, 'Nisoff', 'Wanak');

CREATE TABLE condos (sort TEXT, holes INTEGER, drummer TEXT);
INSERT INTO condos VALUES
('Lezak', 640, 'Juroff'),
('Wanak', 474, 'Fuben'),
('Wadoff', 800, 'Fitel'),
('Fupov', 439, 'Fuben'),
('Vofen', 815, 'Fitel'),
('Nasoff', 566, 'Fitel');

CREATE TABLE jets (ruler TEXT, medium TEXT, offers INTEGER, alias TEXT);
INSERT INTO jets VALUES
('Gunov', 'Redis', 717, 'Womic'),
('Rurak', 'Mafoff', 302, 'Rufel'),
('Besak', 'Dofon', 838, 'Petoff'),
('Doton', 'Dofon', 565, 'Petoff'),
('Voroff', 'Redis', 60, 'Wupis'),
('Loroff', 'Savis', 544, 'Wupis'),
('Rinel', 'Redis', 280, 'Kovis'),
('Venis', 'Dofon', 385, 'Likic'),
('Kinis', 'Dofon', 561, 'Rufel'),
('Debak', 'Mafoff', 177, 'Womic');

CREATE TABLE dances (alias TEXT, chairs INTEGER, robot TEXT);
INSERT INTO dances VALUES
('Rufel', 114, 'Tepon'),
('Petoff', 926, 'Todin'),
('Womic', 946, 'Todin'),
('Wupis', 782, 'Kific'),
('Likic', 800, 'Todin'),
('Kovis', 105, 'Kific');

CREATE TABLE soups (painter TEXT, staff TEXT, yield INTEGER, regent TEXT);
INSERT INTO soups VALUES
('Meser', 'Ladel', 209, 'Kemon'),
('Nopin', 'Lokski', 570, 'Honoff'),
('Fibis', 'Lokski', 897, 'Tutel'),
('Daken', 'Samum', 75, 'Yifen'),
('Pepon', 'Lokski', 541, 'Tutel'),
('Deder', 'Lokski', 585, 'Yinak'),
('Pofis', 'Dunin', 42, 'Honoff'),
('Modov', 'Samum', 373, 'Ralin'),
('Direr', 'Samum', 925, 'Yifen'),
('Tezum', 'Ladel', 667, 'Kemon');

CREATE TABLE medics (regent TEXT, tokens INTEGER, roof TEXT);
INSERT INTO medics VALUES
('Tutel', 887, 'Fiken'),
('Honoff', 293, 'Huzin'),
('Kemon', 830, 'Fiken'),
('Yifen', 152, 'Jivic'),
('Ralin', 113, 'Jivic'),
('Yinak', 61, 'Jivic');

CREATE TABLE inns (valley TEXT, agency TEXT, funds INTEGER, relic TEXT);
INSERT INTO inns VALUES
('Tikoff', 'Zulin', 278, 'Gatic'),
('Gofel', 'Hapis', 178, 'Sifin'),
('Bizum', 'Togin', 27, 'Hifen'),
('Junov', 'Zulin', 154, 'Hodski'),
('Palon', 'Hapis', 235, 'Vikon'),
('Murum', 'Zulin', 109, 'Vikon'),
('Monon', 'Hapis', 41, 'Gatic'),
('Tazen', 'Wobak', 44, 'Hodski'),
('Fizak', 'Hapis', 49, 'Sifin'),
('Lurer', 'Togin', 502, 'Sefak');

CREATE TABLE owls (relic TEXT, flow INTEGER, terrain TEXT);
INSERT INTO owls VALUES
('Sifin', 50, 'Jidel'),
('Vikon', 429, 'Helum'),
('Hodski', 995, 'Fonoff'),
('Gatic', 64, 'Helum'),
('Hifen', 496, 'Helum'),
('Sefak', 459, 'Fonoff');

CREATE TABLE towers (tool TEXT, food TEXT, lines INTEGER, trend TEXT);
INSERT INTO towers VALUES
('Wiroff', 'Bebin', 877, 'Yaken'),
('Lutum', 'Givin', 863, 'Jusski'),
('Gebel', 'Sadov', 163, 'Fudel'),
('Vivis', 'Sadov', 378, 'Yaken'),
('Hubon', 'Givin', 988, 'Telov'),
('Vusov', 'Sadov', 977, 'Fudel'),
('Bomon', 'Givin', 636, 'Tesski'),
('Zedel', 'Baser', 947, 'Jusski'),
('Lefski', 'Sadov', 672, 'Telov'),
('Tibis', 'Baser', 932, 'Modum');

CREATE TABLE plums (trend TEXT, scout TEXT, tires INTEGER);
INSERT INTO plums VALUES
('Fudel', 'Lusen', 397),
('Yaken', 'Mokak', 41),
('Telov', 'Mokak', 373),
('Jusski', 'Goger', 115),
('Modum', 'Mokak', 75),
('Tesski', 'Goger', 360);

CREATE TABLE cameras (bed TEXT, surname TEXT, rooms INTEGER, prof TEXT);
INSERT INTO cameras VALUES
('Dufum', 'Dubin', 788, 'Zamum'),
('Janen', 'Dubin', 604, 'Zezon'),
('Lelic', 'Pekel', 742, 'Vomski'),
('Gudak', 'Peric', 397, 'Wazin'),
('Yidis', 'Peric', 458, 'Higoff'),
('Vatel', 'Dubin', 904, 'Kapen'),
('Garak', 'Pekel', 537, 'Zamum'),
('Fozon', 'Tuvon', 129, 'Wazin'),
('Rider', 'Peric', 963, 'Vomski'),
('Yilis', 'Peric', 58, 'Kapen');

CREATE TABLE statues (prof TEXT, cuts INTEGER, doctor TEXT);
INSERT INTO statues VALUES
('Wazin', 262, 'Lenum'),
('Zamum', 66, 'Lamen'),
('Kapen', 69, 'Lubak'),
('Vomski', 304, 'Lubak'),
('Higoff', 162, 'Lubak'),
('Zezon', 313, 'Lamen');

CREATE TABLE dragons (font TEXT, rinks INTEGER, ruler TEXT, quarter TEXT);
INSERT INTO dragons VALUES
('Rirum', 638, 'Rimov', 'Porum'),
('Dutic', 169, 'Lugski', 'Minel'),
('Yomski', 226, 'Lugski', 'Pabis'),
('Likski', 915, 'Nagic', 'Vitak'),
('Gerov', 614, 'Rimov', 'Porum'),
('Makis', 79, 'Hevic', 'Suton'),
('Sibak', 320, 'Rimov', 'Vitak'),
('Dezin', 583, 'Rimov', 'Sopin'),
('Ronis', 136, 'Lugski', 'Suton'),
('Wezis', 307, 'Nagic', 'Minel');

CREATE TABLE fences (quarter TEXT, fate TEXT, joules INTEGER);
INSERT INTO fences VALUES
('Minel', 'Fofic', 664),
('Suton', 'Yovin', 541),
('Vitak', 'Fofic', 828),
('Porum', 'Yovin', 590),
('Pabis', 'Segin', 754),
('Sopin', 'Fofic', 808);

CREATE TABLE bakers (writer TEXT, signs INTEGER, poem TEXT, field TEXT);
INSERT INTO bakers VALUES
('Budon', 261, 'Febum', 'Fomel'),
('Vetis', 457, 'Nasin', 'Vafon'),
('Mumin', 173, 'Febum', 'Fomel'),
('Mirak', 602, 'Sugski', 'Fozoff'),
('Junski', 608, 'Nasin', 'Haroff'),
('Yerin', 278, 'Sugski', 'Fozoff'),
('Fetov', 643, 'Sugski', 'Vafon'),
('Wopic', 42, 'Febum', 'Haroff'),
('Kobin', 935, 'Sugski', 'Zogis'),
('Degum', 460, 'Kerer', 'Nilak');

CREATE TABLE motors (field TEXT, swings INTEGER, salon TEXT);
INSERT INTO motors VALUES
('Vafon', 773, 'Fogov'),
('Fozoff', 654, 'Masel'),
('Haroff', 377, 'Migov'),
('Fomel', 305, 'Fogov'),
('Zogis', 453, 'Fogov'),
('Nilak', 313, 'Masel');

CREATE TABLE vines (side TEXT, scans INTEGER, kind TEXT, quarter TEXT);
INSERT INTO vines VALUES
('Samen', 196, 'Foder', 'Tifen'),
('Nemen', 397, 'Sedov', 'Dulel'),
('Furoff', 541, 'Diboff', 'Dulel'),
('Vifski', 520, 'Numum', 'Dumen'),
('Sibov', 168, 'Diboff', 'Tifen'),
('Segoff', 610, 'Sedov', 'Larin'),
('Fekoff', 11, 'Numum', 'Dumen'),
('Tesak', 773, 'Sedov', 'Pagon'),
('Zofin', 537, 'Diboff', 'Godel'),
('Neler', 376, 'Sedov', 'Godel');

CREATE TABLE timbers (quarter TEXT, oracle TEXT, laps INTEGER);
INSERT INTO timbers VALUES
('Dumen', 'Joten', 35),
('Dulel', 'Dekski', 854),
('Tifen', 'Hisin', 611),
('Godel', 'Dekski', 284),
('Larin', 'Joten', 546),
('Pagon', 'Dekski', 910);

CREATE TABLE toads (quarter TEXT, lag INTEGER, flavor TEXT, tenant TEXT);
INSERT INTO toads VALUES
('Fimon', 236, 'Kalski', 'Fekic'),
('Lasov', 806, 'Kalski', 'Lesski'),
('Jonski', 78, 'Kalski', 'Rafic'),
('Wezic', 306, 'Kotski', 'Givin'),
('Lupen', 54, 'Pamen', 'Givin'),
('Pafski', 389, 'Yilen', 'Zenis'),
('Legski', 267, 'Pamen', 'Nanak'),
('Yuger', 397, 'Kalski', 'Fekic'),
('Fukoff', 654, 'Yilen', 'Zenis'),
('Henov', 877, 'Pamen', 'Rafic');

CREATE TABLE oars (tenant TEXT, taste TEXT, revenue INTEGER);
INSERT INTO oars VALUES
('Givin', 'Wukel', 162),
('Fekic', 'Kapon', 407),
('Zenis', 'Kapon', 913),
('Rafic', 'Tuzak', 591),
('Lesski', 'Wukel', 224),
('Nanak', 'Kapon', 378);

CREATE TABLE caves (method TEXT, taxi TEXT, herds INTEGER, bank TEXT);
INSERT INTO caves VALUES
('Revin', 'Mutum', 704, 'Sonon'),
('Donis', 'Risen', 546, 'Jokin'),
('Peron', 'Batin', 591, 'Lagum'),
('Jazov', 'Gevon', 828, 'Hibin'),
('Wemak', 'Gevon', 144, 'Segak'),
('Suvski', 'Gevon', 384, 'Gefen'),
('Norer', 'Mutum', 376, 'Gefen'),
('Gasen', 'Mutum', 325, 'Hibin'),
('Digen', 'Mutum', 50, 'Segak'),
('Yinum', 'Risen', 216, 'Jokin');

CREATE TABLE marinas (bank TEXT, mouth TEXT, credit INTEGER);
INSERT INTO marinas VALUES
('Gefen', 'Jeger', 269),
('Hibin', 'Jeger', 537),
('Segak', 'Jeger', 992),
('Jokin', 'Kevov', 276),
('Sonon', 'Kevov', 782),
('Lagum', 'Megon', 948);

CREATE TABLE desks (head TEXT, loads INTEGER, rope TEXT, vessel TEXT);
INSERT INTO desks VALUES
('Zezic', 198, 'Juzer', 'Fumak'),
('Gezak', 808, 'Juzer', 'Fumak'),
('Baris', 576, 'Juzer', 'Babak'),
('Yopov', 714, 'Juzer', 'Zalis'),
('Dalin', 786, 'Darel', 'Buten'),
('Dunov', 336, 'Darel', 'Zalis'),
('Hafon', 262, 'Wulin', 'Hopski'),
('Tivis', 134, 'Fulin', 'Mofel'),
('Dager', 832, 'Wulin', 'Mofel'),
('Mezic', 590, 'Darel', 'Babak');

CREATE TABLE pilots (vessel TEXT, folds INTEGER, idol TEXT);
INSERT INTO pilots VALUES
('Mofel', 781, 'Jemic'),
('Zalis', 946, 'Jupski'),
('Babak', 371, 'Jupski'),
('Fumak', 260, 'Jemic'),
('Buten', 34, 'Josski'),
('Hopski', 290, 'Jemic');
