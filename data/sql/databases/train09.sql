CREATE TABLE threads (hostel TEXT, turns INTEGER, logo TEXT, film TEXT);
INSERT INTO threads VALUES
('Zegon', 77, 'Bamic', 'Moboff'),
('Ronen', 990, 'Ludov', 'Rimel'),
('Wazoff', 466, 'Yusen', 'Vilen'),
('Zotov', 607, 'Ludov', 'Sofen'),
('Mapoff', 781, 'Bamic', 'Sofen'),
('Gukic', 97, 'Ludov', 'Moboff'),
('Liper', 451, 'Goser', 'Nanum'),
('Fison', 590, 'Goser', 'Vilen'),
('Mugak', 261, 'Ludov', 'Yumon'),
('Yokon', 439, 'Bamic', 'Rimel');

CREATE TABLE mules (film TEXT, apples INTEGER, pupil TEXT);
INSERT INTO mules VALUES
('Vilen', 985, 'Lafski'),
('Sofen', 900, 'Neler'),
('Rimel', 823, 'Hozon'),
('Moboff', 836, 'Lafski'),
('Yumon', 910, 'Neler'),
('Nanum', 454, 'Neler');

CREATE TABLE oaks (pet TEXT, gears INTEGER, knight TEXT, coach TEXT);
INSERT INTO oaks VALUES
('Duren', 91, 'Selic', 'Zikin'),
('Miven', 726, 'Laron', 'Zamel'),
('Leloff', 689, 'Beroff', 'Vumon'),
('Mazski', 368, 'Selic', 'Jugic'),
('Dulen', 355, 'Beroff', 'Vumon'),
('Jipak', 236, 'Jetak', 'Revis'),
('Javon', 464, 'Selic', 'Hatski'),
('Puder', 646, 'Laron', 'Revis'),
('Venon', 279, 'Laron', 'Zikin'),
('Didum', 701, 'Laron', 'Hatski');

CREATE TABLE stages (coach TEXT, meters INTEGER, coast TEXT);
INSERT INTO stages VALUES
('Hatski', 162, 'Zibak'),
('Zikin', 517, 'Dover'),
('Revis', 231, 'Dover'),
('Vumon', 197, 'Gapski'),
('Zamel', 820, 'Zibak'),
('Jugic', 63, 'Zibak');

CREATE TABLE hedges (fate TEXT, toes INTEGER, team TEXT, cleric TEXT);
INSERT INTO hedges VALUES
('Mekon', 620, 'Zolak', 'Sutak'),
('Poler', 476, 'Setak', 'Yavin'),
('Vudon', 666, 'Torov', 'Yavin'),
('Hafen', 24, 'Zolak', 'Moloff'),
('Nizum', 74, 'Yolon', 'Yukov'),
('Bapum', 689, 'Torov', 'Ninak'),
('Fupel', 565, 'Zolak', 'Ninak'),
('Memen', 807, 'Torov', 'Moloff'),
('Sofum', 372, 'Zolak', 'Sutak'),
('Sodak', 806, 'Setak', 'Yipel');

CREATE TABLE oboes (cleric TEXT, aide TEXT, year INTEGER);
INSERT INTO oboes VALUES
('Ninak', 'Suson', 572),
('Yavin', 'Bupski', 668),
('Sutak', 'Bazov', 659),
('Moloff', 'Bazov', 581),
('Yukov', 'Suson', 35),
('Yipel', 'Bazov', 185);

CREATE TABLE jets (bride TEXT, council TEXT, speed INTEGER, pastor TEXT);
INSERT INTO jets VALUES
('Bitum', 'Satis', 952, 'Fafis'),
('Yezic', 'Mizon', 373, 'Vafski'),
('Moper', 'Nomer', 194, 'Ginum'),
('Morak', 'Satis', 282, 'Vetis'),
('Hesin', 'Jufak', 926, 'Negon'),
('Godon', 'Nomer', 185, 'Vafski'),
('Javski', 'Nomer', 867, 'Negon'),
('Wesak', 'Satis', 704, 'Damel'),
('Vubis', 'Jufak', 666, 'Damel'),
('Himis', 'Satis', 623, 'Vetis');

CREATE TABLE beacons (pastor TEXT, brother TEXT, lumens INTEGER);
INSERT INTO beacons VALUES
('Vetis', 'Ralov', 384),
('Negon', 'Ralov', 734),
('Vafski', 'Zumon', 187),
('Damel', 'Zumon', 373),
('Ginum', 'Zumon', 474),
('Fafis', 'Yafoff', 756);

CREATE TABLE huts (spot TEXT, garden TEXT, raises INTEGER, doctor TEXT);
INSERT INTO huts VALUES
('Yalis', 'Bager', 736, 'Kebon'),
('Wegak', 'Bager', 196, 'Buzon'),
('Fazis', 'Fubel', 25, 'Zatov'),
('Kavis', 'Fubel', 482, 'Kebon'),
('Senis', 'Fubel', 169, 'Gimic'),
('Bumoff', 'Rebum', 700, 'Buzon'),
('Lumon', 'Rebum', 313, 'Fudski'),
('Yodin', 'Zopski', 84, 'Gimic'),
('Pugis', 'Rebum', 236, 'Fudski'),
('Fikov', 'Fubel', 891, 'Gufum');

CREATE TABLE burgers (doctor TEXT, sacks INTEGER, family TEXT);
INSERT INTO burgers VALUES
('Fudski', 150, 'Doron'),
('Gimic', 904, 'Zogel'),
('Buzon', 313, 'Doron'),
('Kebon', 850, 'Funel'),
('Zatov', 632, 'Doron'),
('Gufum', 378, 'Zogel');

CREATE TABLE sailors (ally TEXT, troop TEXT, height INTEGER, station TEXT);
INSERT INTO sailors VALUES
('Zezak', 'Tolon', 56, 'Roson'),
('Hizen', 'Sedov', 320, 'Roson'),
('Hovic', 'Sedov', 275, 'Yaron'),
('Hafak', 'Genak', 498, 'Hizer'),
('Sekic', 'Sedov', 633, 'Hizer'),
('Kafov', 'Tolon', 782, 'Bapoff'),
('Meron', 'Tolon', 131, 'Yaron'),
('Vasic', 'Yivski', 918, 'Mulak'),
('Wifel', 'Yivski', 776, 'Suzel'),
('Pamum', 'Sedov', 591, 'Suzel');

CREATE TABLE timbers (station TEXT, donor TEXT, wheels INTEGER);
INSERT INTO timbers VALUES
('Yaron', 'Winic', 510),
('Hizer', 'Peson', 699),
('Roson', 'Peson', 719),
('Suzel', 'Sibin', 308),
('Mulak', 'Winic', 52),
('Bapoff', 'Winic', 412);

CREATE TABLE whales (team TEXT, tutor TEXT, roofs INTEGER, desk TEXT);
INSERT INTO whales VALUES
('Paden', 'Mosum', 583, 'Jupov'),
('Dober', 'Mosum', 331, 'Nuron'),
('Sokski', 'Pafic', 191, 'Haper'),
('Rifer', 'Rokis', 86, 'Jalic'),
('Miter', 'Mosum', 750, 'Jupov'),
('Vupel', 'Josov', 152, 'Navic'),
('Wegov', 'Josov', 953, 'Tiric'),
('Meder', 'Mosum', 816, 'Navic'),
('Vugoff', 'Pafic', 498, 'Nuron'),
('Tisis', 'Josov', 933, 'Tiric');

CREATE TABLE coaches (desk TEXT, hours INTEGER, outlet TEXT);
INSERT INTO coaches VALUES
('Jupov', 444, 'Dafel'),
('Navic', 246, 'Jozis'),
('Tiric', 670, 'Tipon'),
('Nuron', 309, 'Tipon'),
('Jalic', 939, 'Tipon'),
('Haper', 998, 'Dafel');

CREATE TABLE looms (owner TEXT, savings INTEGER, method TEXT, virtue TEXT);
INSERT INTO looms VALUES
('Yinen', 249, 'Zofoff', 'Sezum'),
('Zonum', 112, 'Loter', 'Femer'),
('Yerski', 50, 'Bodski', 'Fugov'),
('Sipon', 318, 'Zofoff', 'Femer'),
('Ruber', 914, 'Zofoff', 'Jabski'),
('Regski', 152, 'Loter', 'Vikis'),
('Gesic', 453, 'Loter', 'Pakic'),
('Fozis', 455, 'Loter', 'Sezum'),
('Kuroff', 704, 'Bodski', 'Jabski'),
('Jilon', 806, 'Gefin', 'Fugov');

CREATE TABLE boxers (virtue TEXT, slope INTEGER, curator TEXT);
INSERT INTO boxers VALUES
('Sezum', 872, 'Yebic'),
('Femer', 484, 'Bumer'),
('Fugov', 966, 'Tikak'),
('Jabski', 419, 'Tikak'),
('Vikis', 229, 'Bumer'),
('Pakic', 469, 'Tikak');

CREATE TABLE words (troop TEXT, plugs INTEGER, marshal TEXT, theme TEXT);
INSERT INTO words VALUES
('Lemic', 796, 'Vobak', 'Sobis'),
('Jokak', 618, 'Wiven', 'Bilis'),
('Punen', 458, 'Zoroff', 'Zefov'),
('Hiken', 870, 'Zoric', 'Zefov'),
('Vafon', 106, 'Vobak', 'Ziroff'),
('Govon', 495, 'Zoroff', 'Pofic'),
('Tolak', 447, 'Wiven', 'Sezis'),
('Sefen', 669, 'Zoroff', 'Ziroff'),
('Homov', 81, 'Zoroff', 'Sezis'),
('Sanoff', 99, 'Vobak', 'Pofic');

CREATE TABLE deals (theme TEXT, mark TEXT, hits INTEGER);
INSERT INTO deals VALUES
('Sezis', 'Yaroff', 132),
('Zefov', 'Tonov', 568),
('Ziroff', 'Tonov', 454),
('Pofic', 'Tonov', 435),
('Sobis', 'Wuvis', 842),
('Bilis', 'Wuvis', 745);

CREATE TABLE foals (writer TEXT, sauce TEXT, lines INTEGER, dorm TEXT);
INSERT INTO foals VALUES
('Segoff', 'Riker', 474, 'Kader'),
('Kuson', 'Gozon', 146, 'Lepum'),
('Pibski', 'Gozon', 325, 'Gikin'),
('Sofski', 'Monum', 816, 'Zubum'),
('Paker', 'Gozon', 331, 'Lepum'),
('Zezel', 'Gozon', 124, 'Zubum'),
('Venski', 'Viber', 940, 'Gikin'),
('Solum', 'Riker', 378, 'Rerum'),
('Vurak', 'Viber', 781, 'Kader'),
('Zinen', 'Riker', 521, 'Warer');

CREATE TABLE wells (dorm TEXT, maps INTEGER, club TEXT);
INSERT INTO wells VALUES
('Zubum', 646, 'Tosum'),
('Kader', 37, 'Tosum'),
('Lepum', 199, 'Nobin'),
('Gikin', 479, 'Nobin'),
('Warer', 158, 'Tosum'),
('Rerum', 833, 'Siben');

CREATE TABLE exams (meal TEXT, outlets INTEGER, accent TEXT, tract TEXT);
INSERT INTO exams VALUES
('Wirel', 659, 'Pusak', 'Zusel'),
('Gubis', 307, 'Tebic', 'Hodum'),
('Jegski', 708, 'Zokum', 'Saser'),
('Kobon', 354, 'Zokum', 'Wofski'),
('Yuren', 762, 'Tebic', 'Wofski'),
('Tipoff', 318, 'Zokum', 'Saser'),
('Juzum', 913, 'Pigel', 'Lotis'),
('Jabov', 548, 'Pusak', 'Zusel'),
('Makoff', 37, 'Pusak', 'Hodum'),
('Patel', 744, 'Zokum', 'Rulov');

CREATE TABLE vases (tract TEXT, member TEXT, kids INTEGER);
INSERT INTO vases VALUES
('Zusel', 'Gunen', 460),
('Hodum', 'Fudis', 494),
('Wofski', 'Zidum', 946),
('Saser', 'Zidum', 218),
('Rulov', 'Fudis', 387),
('Lotis', 'Zidum', 191);

CREATE TABLE veils (cabin TEXT, pastor TEXT, scenes INTEGER, helper TEXT);
INSERT INTO veils VALUES
('Hesski', 'Hanis', 696, 'Maben'),
('Solski', 'Hanis', 676, 'Punoff'),
('Hefin', 'Kedum', 188, 'Maben'),
('Memoff', 'Hanis', 549, 'Sunov'),
('Finski', 'Vifel', 114, 'Sunov'),
('Kukum', 'Kedum', 763, 'Punoff'),
('Hibin', 'Hanis', 401, 'Sunel'),
('Tigski', 'Kedum', 839, 'Gofon'),
('Lumin', 'Yazen', 89, 'Mofoff'),
('Telski', 'Vifel', 594, 'Mofoff');

CREATE TABLE roads (helper TEXT, delay INTEGER, domain TEXT);
INSERT INTO roads VALUES
('Punoff', 82, 'Teris'),
('Mofoff', 473, 'Kamin'),
('Sunov', 703, 'Kamin'),
('Maben', 372, 'Kemel'),
('Sunel', 327, 'Kamin'),
('Gofon', 144, 'Teris');

CREATE TABLE juries (regent TEXT, story TEXT, duels INTEGER, region TEXT);
INSERT INTO juries VALUES
('Dokel', 'Finski', 594, 'Yapin'),
('Diner', 'Tulak', 231, 'Zifoff'),
('Badel', 'Pific', 851, 'Vagen'),
('Jutoff', 'Nogic', 875, 'Vagen'),
('Modic', 'Tulak', 287, 'Sotski'),
('Rason', 'Finski', 464, 'Subon'),
('Tizer', 'Tulak', 105, 'Tolov'),
('Vokum', 'Pific', 84, 'Yapin'),
('Disen', 'Tulak', 828, 'Subon'),
('Nemin', 'Finski', 48, 'Tolov');

CREATE TABLE meals (region TEXT, dunks INTEGER, staff TEXT);
INSERT INTO meals VALUES
('Yapin', 701, 'Defen'),
('Tolov', 409, 'Norski'),
('Vagen', 261, 'Norski'),
('Subon', 218, 'Wedski'),
('Zifoff', 651, 'Norski'),
('Sotski', 712, 'Defen');

CREATE TABLE sofas (flavor TEXT, council TEXT, alerts INTEGER, maker TEXT);
INSERT INTO sofas VALUES
('Gokov', 'Limov', 632, 'Fudic'),
('Jonoff', 'Jepis', 834, 'Hefski'),
('Fazic', 'Jepis', 812, 'Rekski'),
('Yuzoff', 'Jepis', 807, 'Tedski'),
('Denic', 'Limov', 20, 'Hefski'),
('Rerum', 'Jepis', 786, 'Nirak'),
('Kolon', 'Vobic', 959, 'Punin'),
('Gapin', 'Zeser', 197, 'Rekski'),
('Helski', 'Vobic', 815, 'Nirak'),
('Rifon', 'Vobic', 97, 'Fudic');

CREATE TABLE inns (maker TEXT, rallies INTEGER, place TEXT);
INSERT INTO inns VALUES
('Hefski', 918, 'Vukon'),
('Fudic', 37, 'Dagin'),
('Nirak', 656, 'Wufum'),
('Rekski', 85, 'Wufum'),
('Tedski', 553, 'Dagin'),
('Punin', 650, 'Wufum');

CREATE TABLE cattle (cleric TEXT, power INTEGER, proxy TEXT, fuel TEXT);
INSERT INTO cattle VALUES
('Milen', 929, 'Mezic', 'Zuzer'),
('Rilis', 127, 'Jepen', 'Mukic'),
('Puper', 583, 'Datum', 'Mukic'),
('Sabon', 126, 'Datum', 'Numov'),
('Noton', 926, 'Mezic', 'Sedum'),
('Dodon', 851, 'Jepen', 'Tuten'),
('Negski', 102, 'Datum', 'Saven'),
('Fosov', 110, 'Datum', 'Numov'),
('Token', 759, 'Jepen', 'Zuzer'),
('Zason', 265, 'Hedak', 'Sedum');

CREATE TABLE donkeys (fuel TEXT, porter TEXT, beds INTEGER);
INSERT INTO donkeys VALUES
('Sedum', 'Musov', 89),
('Numov', 'Muron', 273),
('Mukic', 'Muron', 468),
('Zuzer', 'Musov', 445),
('Tuten', 'Duloff', 281),
('Saven', 'Muron', 782);

CREATE TABLE villas (trend TEXT, armor TEXT, edges INTEGER, picker TEXT);
INSERT INTO villas VALUES
('Rison', 'Gomer', 36, 'Sosski'),
('Denin', 'Pitum', 761, 'Pivis'),
('Piris', 'Gomer', 991, 'Vepski'),
('Yigic', 'Lerel', 473, 'Nekov'),
('Voden', 'Gomer', 680, 'Goser'),
('Delic', 'Fikin', 993, 'Paben'),
('Sisoff', 'Pitum', 386, 'Vepski'),
('Golon', 'Gomer', 148, 'Goser'),
('Gevic', 'Fikin', 421, 'Nekov'),
('Jutic', 'Fikin', 850, 'Paben');

CREATE TABLE leagues (picker TEXT, dozens INTEGER, husband TEXT);
INSERT INTO leagues VALUES
('Vepski', 980, 'Vodin'),
('Nekov', 818, 'Vodin'),
('Goser', 771, 'Yudak'),
('Paben', 151, 'Vodin'),
('Pivis', 252, 'Zinon'),
('Sosski', 413, 'Zinon');

CREATE TABLE lawyers (medic TEXT, fuel TEXT, cores INTEGER, peer TEXT);
INSERT INTO lawyers VALUES
('Tobis', 'Heser', 100, 'Hetis'),
('Kofic', 'Gelin', 892, 'Girel'),
('Sumon', 'Heser', 472, 'Yelak'),
('Soten', 'Zibon', 915, 'Funak'),
('Bugak', 'Zibon', 322, 'Funak'),
('Mific', 'Zibon', 663, 'Ziden'),
('Wener', 'Supis', 454, 'Ziden'),
('Kefin', 'Zibon', 623, 'Hetis'),
('Suvel', 'Heser', 987, 'Jufer'),
('Gakak', 'Supis', 24, 'Jufer');

CREATE TABLE drawers (peer TEXT, dorm TEXT, cost INTEGER);
INSERT INTO drawers VALUES
('Jufer', 'Kifen', 484),
('Hetis', 'Jizum', 697),
('Funak', 'Jizum', 345),
('Ziden', 'Jizum', 388),
('Yelak', 'Kifen', 591),
('Girel', 'Rifov', 851);

CREATE TABLE pearls (ally TEXT, clerk TEXT, dose INTEGER, player TEXT);
INSERT INTO pearls VALUES
('Mofum', 'Dekon', 307, 'Retak'),
('Sazon', 'Femoff', 770, 'Wugis'),
('Misis', 'Reker', 29, 'Fezak'),
('Kaber', 'Femoff', 850, 'Maton'),
('Gitin', 'Femoff', 48, 'Maton'),
('Kufov', 'Femoff', 743, 'Hibov'),
('Sisin', 'Reker', 379, 'Fezak'),
('Muler', 'Reker', 632, 'Mokin'),
('Galis', 'Dekon', 997, 'Hibov'),
('Noten', 'Lanin', 526, 'Retak');

CREATE TABLE heroes (player TEXT, block TEXT, cargo INTEGER);
INSERT INTO heroes VALUES
('Hibov', 'Fimer', 744),
('Maton', 'Fimer', 283),
('Retak', 'Lekski', 46),
('Fezak', 'Vokski', 807),
('Wugis', 'Fimer', 291),
('Mokin', 'Vokski', 580);

CREATE TABLE engines (pastor TEXT, bolts INTEGER, theme TEXT, stamp TEXT);
INSERT INTO engines VALUES
('Zolov', 699, 'Hikel', 'Giler'),
('Futer', 583, 'Divel', 'Kitoff'),
('Nifon', 427, 'Divel', 'Diber'),
('Vepel', 688, 'Dugen', 'Wumoff'),
('Zigum', 796, 'Ravak', 'Wumoff'),
('Huvel', 323, 'Dugen', 'Giler'),
('Sebin', 946, 'Dugen', 'Yuroff'),
('Vozski', 762, 'Divel', 'Yuroff'),
('Kugen', 894, 'Divel', 'Bufski'),
('Kobic', 959, 'Ravak', 'Kitoff');

CREATE TABLE garages (stamp TEXT, walker TEXT, entries INTEGER);
INSERT INTO garages VALUES
('Yuroff', 'Posum', 159),
('Wumoff', 'Posum', 641),
('Kitoff', 'Women', 892),
('Giler', 'Posum', 668),
('Diber', 'Women', 256),
('Bufski', 'Gusski', 437);

CREATE TABLE papers (keeper TEXT, curator TEXT, rounds INTEGER, orator TEXT);
INSERT INTO papers VALUES
('Ranis', 'Ludoff', 173, 'Hazis'),
('Zikic', 'Ludoff', 548, 'Ponis'),
('Tegon', 'Nagis', 458, 'Gidic'),
('Kunoff', 'Vepen', 208, 'Ponis'),
('Ninen', 'Ludoff', 287, 'Yivic'),
('Wonum', 'Vepen', 825, 'Gidic'),
('Karov', 'Nagis', 479, 'Kumum'),
('Moris', 'Pitum', 473, 'Yivic'),
('Zobon', 'Vepen', 610, 'Fuber'),
('Selum', 'Ludoff', 278, 'Hazis');

CREATE TABLE toys (orator TEXT, head TEXT, cubes INTEGER);
INSERT INTO toys VALUES
('Ponis', 'Weger', 507),
('Hazis', 'Jadum', 874),
('Gidic', 'Weger', 113),
('Yivic', 'Jomen', 782),
('Kumum', 'Jadum', 161),
('Fuber', 'Jadum', 968);
