CREATE TABLE hostels (plant TEXT, river TEXT, ads INTEGER, sea TEXT);
INSERT INTO hostels VALUES
('Somon', 'Geven', 356, 'Ferel'),
('Vazov', 'Takin', 426, 'Megski'),
('Vakov', 'Takin', 698, 'Nutis'),
('Gemic', 'Geven', 555, 'Vakoff'),
('Rarum', 'Daloff', 624, 'Hivum'),
('Lurel', 'Takin', 733, 'Kobel'),
('Begen', 'Takin', 917, 'Hivum'),
('Rufer', 'Migum', 804, 'Megski'),
('Vabel', 'Geven', 402, 'Nutis'),
('Rofum', 'Migum', 660, 'Kobel');

CREATE TABLE ants (sea TEXT, uses INTEGER, flag TEXT);
INSERT INTO ants VALUES
('Megski', 751, 'Figis'),
('Nutis', 406, 'Rilov'),
('Kobel', 975, 'Rilov'),
('Hivum', 923, 'Rilov'),
('Vakoff', 104, 'Derski'),
('Ferel', 268, 'Figis');

CREATE TABLE salads (port TEXT, colors INTEGER, leader TEXT, agent TEXT);
INSERT INTO salads VALUES
('Jeron', 976, 'Yagoff', 'Zevel'),
('Jeder', 406, 'Yagoff', 'Tagum'),
('Mumic', 606, 'Dedin', 'Lubel'),
('Hapel', 859, 'Dedin', 'Korin'),
('Supak', 804, 'Dedin', 'Tagum'),
('Juson', 631, 'Tubic', 'Boser'),
('Sogin', 557, 'Tubic', 'Korin'),
('Zidis', 492, 'Dedin', 'Suzov'),
('Tibic', 117, 'Leten', 'Boser'),
('Gidoff', 90, 'Yagoff', 'Zevel');

CREATE TABLE dealers (agent TEXT, piers INTEGER, image TEXT);
INSERT INTO dealers VALUES
('Boser', 972, 'Fimel'),
('Korin', 312, 'Fimel'),
('Tagum', 685, 'Fimel'),
('Zevel', 827, 'Dodak'),
('Lubel', 135, 'Gadov'),
('Suzov', 431, 'Dodak');

CREATE TABLE rats (moon TEXT, past TEXT, goals INTEGER, ace TEXT);
INSERT INTO rats VALUES
('Fifel', 'Misum', 45, 'Pefov'),
('Lavis', 'Hukum', 166, 'Geroff'),
('Mober', 'Hukum', 729, 'Pefov'),
('Dabin', 'Misum', 920, 'Degin'),
('Kifel', 'Hukum', 698, 'Bekin'),
('Wifen', 'Zekis', 312, 'Zosov'),
('Naken', 'Kedoff', 919, 'Zosov'),
('Losski', 'Hukum', 989, 'Geroff'),
('Hipov', 'Kedoff', 543, 'Dodoff'),
('Nagov', 'Kedoff', 505, 'Dodoff');

CREATE TABLE tents (ace TEXT, seats INTEGER, pilot TEXT);
INSERT INTO tents VALUES
('Geroff', 752, 'Tulski'),
('Dodoff', 183, 'Rabov'),
('Pefov', 692, 'Wuboff'),
('Zosov', 569, 'Wuboff'),
('Bekin', 916, 'Rabov'),
('Degin', 648, 'Wuboff');

CREATE TABLE pears (park TEXT, goal TEXT, leases INTEGER, wine TEXT);
INSERT INTO pears VALUES
('Suker', 'Kufum', 791, 'Sosis'),
('Pilon', 'Wuten', 606, 'Teron'),
('Jegov', 'Wuten', 508, 'Gosic'),
('Nusak', 'Burski', 321, 'Sosis'),
('Rotak', 'Kufum', 164, 'Gosic'),
('Dedak', 'Sosen', 346, 'Zikon'),
('Huvov', 'Wuten', 45, 'Zikon'),
('Taris', 'Sosen', 950, 'Pivel'),
('Putel', 'Wuten', 423, 'Jeden'),
('Ponin', 'Kufum', 685, 'Jeden');

CREATE TABLE stones (wine TEXT, parts INTEGER, flag TEXT);
INSERT INTO stones VALUES
('Zikon', 268, 'Goper'),
('Gosic', 160, 'Hizon'),
('Sosis', 239, 'Hizon'),
('Jeden', 846, 'Hizon'),
('Pivel', 911, 'Werel'),
('Teron', 859, 'Goper');

CREATE TABLE plants (area TEXT, ads INTEGER, grain TEXT, hall TEXT);
INSERT INTO plants VALUES
('Sirov', 340, 'Honin', 'Rinski'),
('Keder', 18, 'Titic', 'Nimen'),
('Nerski', 399, 'Zuper', 'Kebel'),
('Ninin', 352, 'Japoff', 'Kebel'),
('Riren', 205, 'Zuper', 'Zumov'),
('Mepski', 871, 'Japoff', 'Nimen'),
('Dapen', 543, 'Zuper', 'Zigis'),
('Haren', 175, 'Japoff', 'Bedin'),
('Dusin', 461, 'Zuper', 'Rinski'),
('Jafis', 804, 'Honin', 'Bedin');

CREATE TABLE races (hall TEXT, shots INTEGER, mail TEXT);
INSERT INTO races VALUES
('Nimen', 686, 'Sunski'),
('Rinski', 912, 'Sunski'),
('Bedin', 920, 'Sunski'),
('Kebel', 524, 'Vuzis'),
('Zigis', 414, 'Vuzis'),
('Zumov', 375, 'Yutov');

CREATE TABLE comets (ranger TEXT, finds INTEGER, genus TEXT, role TEXT);
INSERT INTO comets VALUES
('Guzov', 551, 'Yugov', 'Sugak'),
('Fufov', 790, 'Rusic', 'Mizoff'),
('Budski', 119, 'Mazoff', 'Gedak'),
('Rotic', 989, 'Yugov', 'Basen'),
('Kebel', 117, 'Mazoff', 'Mapin'),
('Titic', 729, 'Yugov', 'Sugak'),
('Hosum', 976, 'Mazoff', 'Gedak'),
('Yadic', 589, 'Zukic', 'Mizoff'),
('Lozoff', 797, 'Yugov', 'Basen'),
('Niric', 328, 'Rusic', 'Rukis');

CREATE TABLE cranes (role TEXT, sign TEXT, coats INTEGER);
INSERT INTO cranes VALUES
('Gedak', 'Hibis', 569),
('Mizoff', 'Hibis', 879),
('Basen', 'Yumic', 660),
('Sugak', 'Kepov', 205),
('Mapin', 'Hibis', 471),
('Rukis', 'Yumic', 848);

CREATE TABLE cheeses (mason TEXT, grants INTEGER, mate TEXT, root TEXT);
INSERT INTO cheeses VALUES
('Woric', 71, 'Runer', 'Wuten'),
('Haner', 571, 'Minic', 'Zitel'),
('Husak', 428, 'Runer', 'Vulic'),
('Tafski', 292, 'Begak', 'Wosen'),
('Wasic', 512, 'Begak', 'Tuler'),
('Vogel', 315, 'Minic', 'Wuten'),
('Wenon', 104, 'Zitum', 'Vulic'),
('Bugum', 972, 'Begak', 'Ginel'),
('Geler', 660, 'Begak', 'Tuler'),
('Zakski', 394, 'Minic', 'Ginel');

CREATE TABLE beaches (root TEXT, rider TEXT, grams INTEGER);
INSERT INTO beaches VALUES
('Wuten', 'Gobov', 617),
('Tuler', 'Gobov', 107),
('Ginel', 'Difen', 480),
('Vulic', 'Gobov', 414),
('Wosen', 'Difen', 691),
('Zitel', 'Yikum', 587);

CREATE TABLE leaders (lad TEXT, park TEXT, beats INTEGER, quest TEXT);
INSERT INTO leaders VALUES
('Begen', 'Jubin', 841, 'Holic'),
('Silum', 'Zabak', 831, 'Duzov'),
('Buvin', 'Jubin', 233, 'Holic'),
('Galum', 'Jubin', 524, 'Sokel'),
('Fidis', 'Simic', 731, 'Bunak'),
('Lafer', 'Dufski', 613, 'Ditum'),
('Rusin', 'Simic', 573, 'Sokel'),
('Kibel', 'Simic', 33, 'Duzov'),
('Lolel', 'Zabak', 547, 'Kizoff'),
('Bokis', 'Jubin', 480, 'Kizoff');

CREATE TABLE wines (quest TEXT, goal TEXT, reserve INTEGER);
INSERT INTO wines VALUES
('Sokel', 'Hotum', 906),
('Holic', 'Vulis', 532),
('Kizoff', 'Vulis', 679),
('Duzov', 'Vulis', 211),
('Bunak', 'Deric', 395),
('Ditum', 'Hotum', 551);

CREATE TABLE spices (center TEXT, river TEXT, seals INTEGER, crest TEXT);
INSERT INTO spices VALUES
('Dusin', 'Niven', 573, 'Kagin'),
('Lulin', 'Nepoff', 792, 'Kagin'),
('Tunin', 'Jefski', 324, 'Joker'),
('Gurel', 'Rakski', 881, 'Lasoff'),
('Yavis', 'Rakski', 96, 'Pokoff'),
('Jitel', 'Nepoff', 164, 'Notis'),
('Gulic', 'Jefski', 500, 'Joker'),
('Yubic', 'Nepoff', 166, 'Ginski'),
('Yogic', 'Jefski', 975, 'Pokoff'),
('Dedis', 'Nepoff', 731, 'Ginski');

CREATE TABLE stands (crest TEXT, grain TEXT, rank INTEGER);
INSERT INTO stands VALUES
('Kagin', 'Tezen', 183),
('Ginski', 'Luzoff', 314),
('Joker', 'Firic', 955),
('Pokoff', 'Firic', 557),
('Notis', 'Firic', 26),
('Lasoff', 'Tezen', 228);

CREATE TABLE forts (area TEXT, scent TEXT, lots INTEGER, word TEXT);
INSERT INTO forts VALUES
('Wubel', 'Mefov', 394, 'Wazis'),
('Girin', 'Mefov', 954, 'Lozis'),
('Pofski', 'Butski', 911, 'Pafoff'),
('Poroff', 'Temis', 804, 'Vokov'),
('Gasel', 'Hatak', 831, 'Povoff'),
('Lusic', 'Hatak', 757, 'Lozis'),
('Hugum', 'Temis', 500, 'Vokov'),
('Sason', 'Mefov', 923, 'Wazis'),
('Fanov', 'Hatak', 212, 'Povoff'),
('Katis', 'Mefov', 912, 'Samic');

CREATE TABLE lenses (word TEXT, crates INTEGER, sailor TEXT);
INSERT INTO lenses VALUES
('Vokov', 848, 'Binel'),
('Wazis', 920, 'Pikon'),
('Lozis', 519, 'Turski'),
('Povoff', 98, 'Turski'),
('Samic', 631, 'Binel'),
('Pafoff', 539, 'Binel');

CREATE TABLE elders (opera TEXT, sites INTEGER, image TEXT, pilot TEXT);
INSERT INTO elders VALUES
('Vopak', 301, 'Peder', 'Kumov'),
('Hovis', 181, 'Peder', 'Kagski'),
('Fezin', 312, 'Wivel', 'Yuvski'),
('Gader', 779, 'Wivel', 'Rotic'),
('Nutis', 532, 'Hutak', 'Rakum'),
('Hozer', 906, 'Higon', 'Boven'),
('Donic', 294, 'Hutak', 'Yuvski'),
('Valen', 338, 'Peder', 'Rotic'),
('Hutak', 497, 'Wivel', 'Rakum'),
('Katum', 33, 'Wivel', 'Kumov');

CREATE TABLE planes (pilot TEXT, grams INTEGER, base TEXT);
INSERT INTO planes VALUES
('Kumov', 652, 'Wizin'),
('Rotic', 879, 'Fimic'),
('Rakum', 277, 'Wizin'),
('Yuvski', 752, 'Manon'),
('Boven', 121, 'Wizin'),
('Kagski', 499, 'Manon');

CREATE TABLE servers (actor TEXT, files INTEGER, grain TEXT, tree TEXT);
INSERT INTO servers VALUES
('Hopen', 532, 'Koper', 'Muzer'),
('Wepov', 219, 'Nazin', 'Tubel'),
('Pigski', 489, 'Koper', 'Boger'),
('Gogak', 518, 'Lepel', 'Boger'),
('Tasov', 156, 'Koper', 'Riben'),
('Waroff', 346, 'Nazin', 'Muzer'),
('Ruvis', 630, 'Nazin', 'Nolak'),
('Porer', 681, 'Nazin', 'Tubel'),
('Bipen', 143, 'Nuzoff', 'Pilis'),
('Kapski', 430, 'Nuzoff', 'Pilis');

CREATE TABLE teams (tree TEXT, server TEXT, masts INTEGER);
INSERT INTO teams VALUES
('Tubel', 'Vover', 190),
('Boger', 'Bosis', 53),
('Pilis', 'Vover', 428),
('Muzer', 'Taroff', 715),
('Riben', 'Vover', 539),
('Nolak', 'Taroff', 557);

CREATE TABLE stars (officer TEXT, lots INTEGER, master TEXT, trade TEXT);
INSERT INTO stars VALUES
('Woser', 120, 'Hitel', 'Yegon'),
('Nepin', 400, 'Fadel', 'Fofski'),
('Nasis', 539, 'Hitel', 'Fepel'),
('Kimski', 665, 'Fadel', 'Wimoff'),
('Sevon', 619, 'Fadel', 'Fepel'),
('Soben', 446, 'Fudov', 'Telum'),
('Lopov', 569, 'Fadel', 'Telum'),
('Milski', 705, 'Roton', 'Fofski'),
('Tikel', 571, 'Hitel', 'Yegon'),
('Bibel', 395, 'Roton', 'Yorer');

CREATE TABLE bears (trade TEXT, line TEXT, cases INTEGER);
INSERT INTO bears VALUES
('Yegon', 'Bavak', 213),
('Fepel', 'Pezak', 606),
('Fofski', 'Hepin', 90),
('Telum', 'Bavak', 461),
('Wimoff', 'Pezak', 547),
('Yorer', 'Pezak', 326);

CREATE TABLE farms (lead TEXT, ground TEXT, wins INTEGER, morale TEXT);
INSERT INTO farms VALUES
('Rinin', 'Gozak', 125, 'Fuzoff'),
('Fepski', 'Rabak', 160, 'Fuzoff'),
('Venic', 'Gozak', 68, 'Tikic'),
('Wemski', 'Feper', 600, 'Pemis'),
('Wogski', 'Puvic', 598, 'Fizon'),
('Luzoff', 'Feper', 446, 'Geten'),
('Dudis', 'Puvic', 631, 'Debski'),
('Tirer', 'Feper', 543, 'Tikic'),
('Hesis', 'Gozak', 550, 'Fizon'),
('Yakum', 'Feper', 104, 'Geten');

CREATE TABLE bars (morale TEXT, sign TEXT, piers INTEGER);
INSERT INTO bars VALUES
('Geten', 'Hopoff', 18),
('Tikic', 'Lavic', 499),
('Fuzoff', 'Bafic', 160),
('Fizon', 'Lavic', 617),
('Debski', 'Hopoff', 868),
('Pemis', 'Lavic', 367);

CREATE TABLE trails (port TEXT, mate TEXT, drives INTEGER, dance TEXT);
INSERT INTO trails VALUES
('Rulin', 'Supel', 480, 'Joker'),
('Yepak', 'Hogon', 725, 'Joker'),
('Wapski', 'Hogon', 784, 'Vuvis'),
('Sugel', 'Walis', 617, 'Fugon'),
('Zitski', 'Hogon', 543, 'Ludon'),
('Pidak', 'Walis', 721, 'Ludon'),
('Rigak', 'Titic', 813, 'Pilis'),
('Hogoff', 'Hogon', 752, 'Fugon'),
('Vaver', 'Supel', 859, 'Vuvis'),
('Fodic', 'Supel', 512, 'Dunak');

CREATE TABLE trains (dance TEXT, tricks INTEGER, era TEXT);
INSERT INTO trains VALUES
('Joker', 155, 'Jivov'),
('Fugon', 328, 'Zenov'),
('Ludon', 53, 'Jivov'),
('Vuvis', 340, 'Jivov'),
('Pilis', 428, 'Tafak'),
('Dunak', 107, 'Zenov');

CREATE TABLE spires (moon TEXT, trainer TEXT, pans INTEGER, creator TEXT);
INSERT INTO spires VALUES
('Donoff', 'Dadin', 232, 'Nonak'),
('Ritum', 'Nikoff', 125, 'Sibon'),
('Fokel', 'Dadin', 605, 'Yizin'),
('Damov', 'Serov', 790, 'Nonak'),
('Fudov', 'Dadin', 974, 'Luber'),
('Zerin', 'Serov', 361, 'Kotak'),
('Yekak', 'Kuzak', 727, 'Yizin'),
('Gatak', 'Serov', 15, 'Pimer'),
('Hiton', 'Serov', 491, 'Luber'),
('Bonen', 'Nikoff', 519, 'Sibon');

CREATE TABLE nests (creator TEXT, sailor TEXT, sounds INTEGER);
INSERT INTO nests VALUES
('Luber', 'Lozic', 911),
('Sibon', 'Doroff', 747),
('Yizin', 'Lozic', 975),
('Nonak', 'Lozic', 831),
('Kotak', 'Doroff', 228),
('Pimer', 'Govak', 324);

CREATE TABLE trees (lead TEXT, blocks INTEGER, dealer TEXT, era TEXT);
INSERT INTO trees VALUES
('Vosin', 919, 'Limoff', 'Dumoff'),
('Jiroff', 268, 'Riton', 'Yumic'),
('Zekak', 90, 'Limoff', 'Dumoff'),
('Yupski', 686, 'Bimoff', 'Lutis'),
('Hibis', 881, 'Limoff', 'Weton'),
('Pizin', 340, 'Zenov', 'Penin'),
('Zovic', 683, 'Bimoff', 'Weton'),
('Nodel', 18, 'Bimoff', 'Mipon'),
('Jerski', 911, 'Riton', 'Lutis'),
('Yemak', 88, 'Limoff', 'Mipon');

CREATE TABLE crops (era TEXT, overs INTEGER, street TEXT);
INSERT INTO crops VALUES
('Mipon', 156, 'Sisic'),
('Lutis', 181, 'Rotak'),
('Weton', 365, 'Voron'),
('Dumoff', 539, 'Sisic'),
('Penin', 624, 'Voron'),
('Yumic', 522, 'Voron');

CREATE TABLE ovens (reason TEXT, pints INTEGER, trader TEXT, booker TEXT);
INSERT INTO ovens VALUES
('Serov', 426, 'Zefic', 'Miris'),
('Revel', 339, 'Janoff', 'Bimel'),
('Zikon', 395, 'Tadin', 'Volov'),
('Sific', 98, 'Tadin', 'Hadov'),
('Zidic', 551, 'Janoff', 'Volov'),
('Kagak', 764, 'Ravski', 'Miris'),
('Butin', 160, 'Zefic', 'Bimel'),
('Vatic', 503, 'Janoff', 'Kugel'),
('Gekum', 181, 'Janoff', 'Kugel'),
('Wufel', 14, 'Zefic', 'Pogis');

CREATE TABLE pies (booker TEXT, town TEXT, feeds INTEGER);
INSERT INTO pies VALUES
('Bimel', 'Pulis', 120),
('Volov', 'Jider', 26),
('Miris', 'Vebum', 135),
('Kugel', 'Pulis', 147),
('Hadov', 'Vebum', 655),
('Pogis', 'Pulis', 207);

CREATE TABLE gangs (stream TEXT, area TEXT, grains INTEGER, moon TEXT);
INSERT INTO gangs VALUES
('Sefon', 'Pogen', 509, 'Toris'),
('Vodis', 'Rilov', 326, 'Mipon'),
('Hogoff', 'Nogen', 954, 'Mipon'),
('Wadis', 'Vulon', 315, 'Muden'),
('Govis', 'Nogen', 343, 'Gofer'),
('Sofon', 'Rilov', 26, 'Toris'),
('Hager', 'Nogen', 555, 'Mupum'),
('Munum', 'Vulon', 143, 'Kusic'),
('Kiver', 'Vulon', 606, 'Kusic'),
('Pogak', 'Vulon', 286, 'Gofer');

CREATE TABLE domes (moon TEXT, feeds INTEGER, master TEXT);
INSERT INTO domes VALUES
('Mipon', 906, 'Soler'),
('Kusic', 321, 'Vadel'),
('Gofer', 916, 'Soler'),
('Toris', 370, 'Vadel'),
('Muden', 518, 'Sakak'),
('Mupum', 732, 'Vadel');

CREATE TABLE kites (comet TEXT, grams INTEGER, ranger TEXT, potter TEXT);
INSERT INTO kites VALUES
('Rolon', 333, 'Lifis', 'Gavin'),
('Wegel', 860, 'Lifis', 'Gavin'),
('Zofis', 950, 'Gimin', 'Mizak'),
('Nukel', 223, 'Lifis', 'Mizak'),
('Todak', 351, 'Gimin', 'Giron'),
('Yatoff', 813, 'Gimin', 'Giron'),
('Jusen', 797, 'Vuboff', 'Waper'),
('Tulum', 277, 'Lifis', 'Bagen'),
('Feven', 722, 'Jenic', 'Teten'),
('Vevon', 480, 'Jenic', 'Waper');

CREATE TABLE bones (potter TEXT, feeds INTEGER, flag TEXT);
INSERT INTO bones VALUES
('Waper', 617, 'Sudic'),
('Giron', 542, 'Giric'),
('Mizak', 595, 'Giric'),
('Gavin', 487, 'Giric'),
('Teten', 219, 'Fegon'),
('Bagen', 83, 'Fegon');
